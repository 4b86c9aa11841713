"""colarepro: Chain of LoRA (arXiv 2401.04151), its experiments and its theory.

Read in this order: ``chain/chain.py`` (what COLA is), ``run.py`` (one fine-tuning run),
``theory/synthetic.py`` (the theory half), ``figures/__main__.py`` (what people look at).
"""

__version__ = "0.1.0"

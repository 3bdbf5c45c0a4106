__title__ = "spacy-embtune"
__version__ = "0.1.0"

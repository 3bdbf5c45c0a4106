"""Find the component in a pipeline."""

from spacy.language import Language

from .component import EmbTune


def find_component(nlp: Language, name: str | None = None, *, where: str | None = None) -> EmbTune:
    """Find the component by its type, because users choose its name.

    >>> import spacy
    >>> nlp = spacy.blank("en")
    >>> pipe = nlp.add_pipe("embtune", name="topic")
    >>> find_component(nlp).name
    'topic'

    nlp (Language): The pipeline.
    name (str | None): The name of the component. None: there must be exactly one.
    where (str | None): The name of the pipeline in error messages. None: the name in its meta.
    RETURNS (EmbTune): The component.
    RAISES (ValueError): When there is no component, none of that name, or several and no name.
    """
    where = f"The pipeline {nlp.meta['lang']}_{nlp.meta['name']}" if where is None else where
    found = {key: pipe for key, pipe in nlp.pipeline if isinstance(pipe, EmbTune)}
    if not found:
        others = f"only {', '.join(map(repr, nlp.pipe_names))}" if nlp.pipe_names else "nor others"
        raise ValueError(
            f"{where} has no embtune component, {others}. Give a pipeline that was trained with an "
            "embtune component, such as training/model-best."
        )
    names = ", ".join(map(repr, found))
    if name is None and len(found) > 1:
        raise ValueError(
            f"{where} has several embtune components: {names}. Choose one by its name (--name)."
        )
    if name is not None and name not in found:
        raise ValueError(f"{where} has no embtune component of the name {name!r}. It has: {names}.")
    return found[next(iter(found)) if name is None else name]

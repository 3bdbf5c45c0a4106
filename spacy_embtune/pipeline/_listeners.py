"""What spaCy asks of a component whose output other components read (`ListenedToComponent`)."""

import logging
from typing import Any, cast

from thinc.api import Model

from . import doc_embedding

logger = logging.getLogger(__name__)


class ListenedTo:
    """Links the layers `spacy-embtune.DocEmbedding.v1` of later components to an embtune component.
    spaCy calls `find_listeners` whenever a pipeline changes or is loaded."""

    name: str
    extension: str
    listener_map: dict[str, list[Model[Any, Any]]]
    # The components that write to the same attribute, and for which a warning was logged.
    overwritten_by: set[str]

    @property
    def listeners(self) -> list[Model[Any, Any]]:
        """RETURNS (list[Model]): The layers that read the vectors of this component."""
        return [layer for layers in self.listener_map.values() for layer in layers]

    @property
    def listening_components(self) -> list[str]:
        """RETURNS (list[str]): The components that have such layers."""
        return list(self.listener_map)

    def add_listener(self, listener: Model[Any, Any], component_name: str) -> None:
        """Note that a component has a layer that reads the vectors of this component.

        listener (Model): The layer.
        component_name (str): The component.
        """
        layers = self.listener_map.setdefault(component_name, [])
        if listener not in layers:
            layers.append(listener)

    def remove_listener(self, listener: Model[Any, Any], component_name: str) -> bool:
        """Forget a layer that `add_listener` noted.

        listener (Model): The layer.
        component_name (str): The component that has it.
        RETURNS (bool): Whether it was noted.
        """
        layers = self.listener_map.get(component_name, [])
        if listener not in layers:
            return False
        layers.remove(listener)
        if not layers:
            del self.listener_map[component_name]
        return True

    def find_listeners(self, component: Any) -> None:
        """Let the layers `DocEmbedding` of a component that comes later read the vectors of this
        one, if they name it. Of several embtune components, "*" means the last one. Log a warning
        if the other component replaces the vectors of this one.

        component (Any): A component of the pipeline.
        """
        if isinstance(component, ListenedTo):
            self._warn_of_overwriting(component)
        model = getattr(component, "model", None)
        if not isinstance(model, Model):
            return
        for node in model.walk():
            if doc_embedding.is_listener(node, self.name):
                self.add_listener(node, component.name)
                self.link(node)

    def _warn_of_overwriting(self, other: "ListenedTo") -> None:
        # `initialize` makes it an error, but components that are loaded are not initialized.
        if other.extension != self.extension or other.name in self.overwritten_by:
            return
        self.overwritten_by.add(other.name)
        logger.warning(
            "[%s] and [%s] both write to doc._.%s, so the vectors of the second one replace those "
            "of the first. Give each an extension of its own; for a component that is trained, "
            "where it is loaded: spacy.load(PATH, config={'components.%s.extension': NAME}).",
            self.name,
            other.name,
            self.extension,
            other.name,
        )

    def link(self, layer: Model[Any, Any]) -> None:
        """Let a layer read the vectors of this component, as spaCy does for a layer of a pipeline.

        layer (Model): The layer `spacy-embtune.DocEmbedding.v1`.
        """
        doc_embedding.link(layer, cast(doc_embedding.HasVectors, self))

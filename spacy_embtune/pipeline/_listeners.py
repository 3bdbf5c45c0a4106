"""What spaCy asks of a component whose output other components read (`ListenedToComponent`)."""

from typing import Any, cast

from thinc.api import Model

from . import doc_embedding


class ListenedTo:
    """Links the layers `spacy-embtune.DocEmbedding.v1` of later components to an embtune component.
    spaCy calls `find_listeners` whenever a pipeline changes or is loaded."""

    name: str
    listener_map: dict[str, list[Model[Any, Any]]]

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
        one, if they name it. Of several embtune components, "*" means the last one.

        component (Any): A component of the pipeline.
        """
        model = getattr(component, "model", None)
        if not isinstance(model, Model):
            return
        for node in model.walk():
            if doc_embedding.is_listener(node, self.name):
                self.add_listener(node, component.name)
                self.link(node)

    def link(self, layer: Model[Any, Any]) -> None:
        """Let a layer read the vectors of this component, as spaCy does for a layer of a pipeline.

        layer (Model): The layer `spacy-embtune.DocEmbedding.v1`.
        """
        doc_embedding.link(layer, cast(doc_embedding.HasVectors, self))

"""Rows as annotation tools export them: Prodigy, Label Studio, Argilla, doccano.

doccano writes `{"text": ..., "label": [...]}`, which needs nothing of its own. In the exports of
the other tools a text may be nested, several people may have answered, and an answer may be that
the label is wrong. Predictions of models are not labels.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .._texts import is_missing, shorten
from ._cells import parse_container
from ._rows import InvalidRowError

ANSWERS = ("accept", "reject", "ignore")
# What Label Studio writes behind the results of a record in JSON-MIN and CSV.
_LABEL_STUDIO_MIN = ("annotator", "annotation_id", "lead_time")


class Found(NamedTuple):
    """The labels in a row of an annotation tool.

    name (str): The field of the labels, for messages.
    answers (Sequence[Any]): What each person chose: a label, a list of labels, or a number.
    used (Collection[str]): The fields that were read.
    options (Sequence[Any]): The labels that could be chosen. Those that were not are absent.
    is_rejected (bool): Whether the answer is that the label is wrong.
    question (str | None): The question that was answered, if the tool can ask several.
    notices (Sequence[str]): What was not read, in the words for all rows of the file.
    """

    name: str
    answers: Sequence[Any]
    used: Collection[str]
    options: Sequence[Any] = ()
    is_rejected: bool = False
    question: str | None = None
    notices: Sequence[str] = ()


def unwrap(fields: Mapping[str, Any], *, text_field: str) -> Mapping[str, Any]:
    """Put the fields of nested objects beside the others: "data" of Label Studio, "fields" and
    "metadata" of Argilla.

    fields (Mapping[str, Any]): The fields as the file has them.
    text_field (str): The field of the text.
    RETURNS (Mapping[str, Any]): The fields. Those of the row go before nested ones of their name.
    """
    if is_label_studio(fields):
        return {**_parts(fields, "data"), **_without(fields, "data")}
    if is_argilla(fields):
        nested = {**_parts(fields, "metadata"), **_parts(fields, "fields")}
        return {**nested, **_without(fields, "fields", "metadata")}
    inputs: Any = fields.get("inputs")
    if (
        "annotation" in fields
        and isinstance(inputs, Mapping)
        and is_missing(fields.get(text_field))
    ):
        # Argilla 1 keeps the text apart from inputs only in some versions.
        only = next(iter(inputs.values())) if len(inputs) == 1 else None
        return {**fields, text_field: inputs.get(text_field, only)}
    return fields


def find_labels(
    fields: Mapping[str, Any], label_field: str | None, *, other_fields: Collection[str]
) -> Found | None:
    """Find the labels in a row of an annotation tool.

    fields (Mapping[str, Any]): The fields, as `unwrap` returns them.
    label_field (str | None): The field or the question that the user named.
    other_fields (Collection[str]): Fields that are no labels.
    RETURNS (Found | None): The labels. None if the row is from no tool that is known here, or the
        user named a field that is not the tool's.
    """
    if is_label_studio(fields):
        return _label_studio(fields, label_field)
    if is_argilla(fields):
        return _argilla(fields, label_field)
    if fields.get("answer") in ANSWERS and label_field in (None, "label", "accept"):
        return _prodigy(fields)
    if label_field is None and all(name in fields for name in _LABEL_STUDIO_MIN):
        return _label_studio_min(fields, other_fields)
    if label_field in (None, "annotation") and _is_argilla_1(fields):
        return _argilla_1(fields)
    return _argilla_flat(fields, label_field)


def choices_of(value: Mapping[Any, Any]) -> list[Any] | None:
    """RETURNS (list | None): The labels of {"choices": [...]}, as Label Studio writes several
    choices. None for another mapping."""
    choices = value.get("choices")
    if isinstance(choices, str):
        return [choices]
    return list(choices) if isinstance(choices, list | tuple) else None


def is_label_studio(fields: Mapping[str, Any]) -> bool:
    """RETURNS (bool): Whether a row is a task of Label Studio's JSON export."""
    annotations = fields.get("annotations", fields.get("completions"))
    return isinstance(annotations, list) and (
        "data" in fields
        or "predictions" in fields
        or any(isinstance(one, Mapping) and "result" in one for one in annotations)
    )


def is_argilla(fields: Mapping[str, Any]) -> bool:
    """RETURNS (bool): Whether a row is a record of Argilla 2's JSON export."""
    return isinstance(fields.get("responses"), Mapping) and "suggestions" in fields


def _is_argilla_1(fields: Mapping[str, Any]) -> bool:
    return "annotation" in fields and (
        "annotation_agent" in fields or "multi_label" in fields or "prediction_agent" in fields
    )


def _prodigy(fields: Mapping[str, Any]) -> Found | None:
    used = {"answer", "label", "accept", "options"}
    answer = fields["answer"]
    notices = []
    if fields.get("spans"):
        notices.append(
            "The labels of Prodigy's 'spans' are labels of parts of texts, not of whole texts. To "
            "use them, say unit = 'spans:sc' (--unit spans:sc), or train with learn_spans = true."
        )
    if "options" in fields or "accept" in fields:
        if answer == "reject":
            notices.append(
                "Records of Prodigy whose choice was rejected have no known label, because the "
                "answer does not say which label is wrong."
            )
        if answer != "accept":
            return Found("accept", (), used, notices=notices)
        accepted = _as_list("accept", fields.get("accept"))
        options = [
            option.get("id") if isinstance(option, Mapping) else option
            for option in _as_list("options", fields.get("options")) or ()
        ]
        chosen = [] if is_missing(accepted) else accepted
        return Found("accept", (chosen,), used, options=options, notices=notices)
    if notices and not any(key in fields for key in ("label", "labels", "cats")):
        return Found("label", (), used, notices=notices)
    if "label" not in fields and answer == "accept":
        # The answer is about something else, such as cats.
        return None
    label = fields.get("label")
    if answer == "ignore" or is_missing(label):
        return Found("label", (), used, notices=notices)
    return Found("label", (label,), used, is_rejected=answer == "reject", notices=notices)


def _label_studio(fields: Mapping[str, Any], label_field: str | None) -> Found:
    used = {"annotations", "completions", "predictions", "drafts"}
    annotations = [
        annotation
        for annotation in fields.get("annotations", fields.get("completions")) or ()
        if isinstance(annotation, Mapping)
        and not annotation.get("was_cancelled")
        and not annotation.get("skipped")
    ]
    annotations = [one for one in annotations if one.get("ground_truth")] or annotations
    answers: list[Any] = []
    questions: set[str] = set()
    notices = []
    if not annotations and fields.get("predictions"):
        notices.append("Predictions in the export of Label Studio are not read as labels.")
    for annotation in annotations:
        chosen: list[Any] = []
        is_answered = False
        for result in annotation.get("result") or ():
            question = result.get("from_name")
            if label_field not in (None, question):
                continue
            value = result.get("value") or {}
            if "choices" in value:
                chosen.extend(choices_of(value) or ())
            elif "rating" in value:
                chosen.append(value["rating"])
            elif "taxonomy" in value:
                chosen.extend("/".join(map(str, path)) for path in value["taxonomy"])
            else:
                notices.append(
                    f"Results of the type {result.get('type')!r} in the export of Label Studio "
                    "are not read. Only choices, ratings and taxonomies are."
                )
                continue
            questions.add(str(question))
            is_answered = True
        if is_answered:
            answers.append(chosen[0] if len(chosen) == 1 else chosen)
    question = _one_question(questions)
    return Found("annotations", answers, used, question=question, notices=notices)


def _label_studio_min(fields: Mapping[str, Any], other_fields: Collection[str]) -> Found | None:
    names = list(fields)
    end = names.index("annotator")
    start = names.index("id") + 1 if "id" in names[:end] else 0
    results = [name for name in names[start:end] if name not in other_fields]
    if any(name in fields for name in ("cats", "label", "labels")) or not results:
        return None
    return Found(
        results[0],
        () if is_missing(fields[results[0]]) else (fields[results[0]],),
        {results[0]},
        question=_one_question(results),
    )


def _argilla(fields: Mapping[str, Any], label_field: str | None) -> Found:
    used = {"responses", "suggestions", "vectors"}
    suggestions = fields.get("suggestions") or {}
    if label_field is not None and label_field.endswith(".suggestion"):
        suggested = suggestions.get(label_field.removesuffix(".suggestion")) or {}
        value = suggested.get("value")
        return Found(label_field, () if is_missing(value) else (value,), used)
    responses = {
        question: given
        for question, given in fields["responses"].items()
        if given and label_field in (None, question, f"{question}.responses")
    }
    if not responses:
        return Found("responses", (), used, notices=_suggested(suggestions))
    question = _one_question(responses)
    answers = _submitted(responses[question])
    return Found("responses", answers, used, question=question)


def _argilla_flat(fields: Mapping[str, Any], label_field: str | None) -> Found | None:
    """Argilla 2's records as a flat table, or Argilla 1's feedback records."""
    questions = [
        name.removesuffix(".responses")
        for name in fields
        if name.endswith(".responses")
        and label_field in (None, name, name.removesuffix(".responses"))
    ]
    if questions and not (label_field is None and "label" in fields):
        ends = (".responses", ".responses.status")
        lists = {key: _as_list(key, fields[key]) for key in fields if key.endswith(ends)}
        fields = {**fields, **lists}
        answered = [name for name in questions if fields[f"{name}.responses"]]
        used = {f"{name}.responses" for name in questions}
        if not answered:
            suggested = [name for name in questions if fields.get(f"{name}.suggestion") is not None]
            return Found("responses", (), used, notices=_suggested(suggested))
        question = _one_question(answered)
        key = f"{question}.responses"
        status = fields.get(f"{key}.status") or [None] * len(fields[key])
        answers = [
            value
            for value, state in zip(fields[key], status, strict=False)
            if state in (None, "submitted") and not is_missing(value)
        ]
        return Found(key, answers, used, question=question)
    name = "label" if label_field is None else label_field
    given = fields.get(name)
    if isinstance(given, Mapping) and {"user_id", "value"} <= set(given):
        # The `datasets` library turns a list of mappings into a mapping of lists.
        columns = [given[key] for key in ("value", "status") if key in given]
        keys = [key for key in ("value", "status") if key in given]
        given = [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]
    if isinstance(given, list) and _is_feedback(given):
        return Found(name, _submitted(given), {name})
    return None


def _argilla_1(fields: Mapping[str, Any]) -> Found:
    used = {"annotation", "prediction", "inputs", "annotation_agent", "prediction_agent"}
    annotation = fields["annotation"]
    if is_missing(annotation) or fields.get("status") == "Discarded":
        suggested = () if is_missing(fields.get("prediction")) else ("annotation",)
        return Found("annotation", (), used, notices=_suggested(suggested))
    return Found("annotation", (annotation,), used)


def _is_feedback(given: list[Any]) -> bool:
    return bool(given) and all(
        isinstance(one, Mapping) and {"value", "status"} <= set(one) for one in given
    )


def _submitted(responses: Iterable[Mapping[str, Any]]) -> list[Any]:
    return [
        one["value"]
        for one in responses
        if one.get("status") in (None, "submitted") and not is_missing(one.get("value"))
    ]


def _suggested(suggestions: Collection[str] | Mapping[str, Any]) -> list[str]:
    if not suggestions:
        return []
    return [
        "Suggestions and predictions in the export of Argilla are not read as labels. To read "
        f"them nevertheless, name them: label_field = {next(iter(suggestions)) + '.suggestion'!r}."
    ]


def _one_question(questions: Iterable[str]) -> str | None:
    names = sorted(set(questions))
    if len(names) > 1:
        raise InvalidRowError(
            "the labels answer several questions",
            f"has labels of {' and '.join(map(repr, names))}. Name the question to read "
            "(label_field, --label-field).",
        )
    return names[0] if names else None


def _parts(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = fields.get(name)
    return value if isinstance(value, Mapping) else {}


def _without(fields: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    return {
        key: value
        for key, value in fields.items()
        if key not in names or not isinstance(value, Mapping)
    }


def _as_list(name: str, value: Any) -> Any:
    """RETURNS (Any): A list that a table of plain text holds as a string, as a list; another value
    as it is.
    RAISES (InvalidRowError): If the string is no list."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    found = parse_container(value)
    if isinstance(found, list):
        return found
    if name == "accept":
        return value
    raise InvalidRowError(
        f"{name!r} is not a list",
        f"{name!r} is {shorten(repr(value))}. Give a list, or export JSON lines.",
    )

"""XML of label files, through defusedxml: no entities, no DTD, nothing fetched."""

from __future__ import annotations

from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from hipdet.labels.fault import LabelFault


def parse_xml(data: bytes) -> Element:
    """The root element.

    Raises:
        LabelFault: broken XML, or a DTD or entities, which no annotation tool writes.
    """
    try:
        root: Element = fromstring(data, forbid_dtd=True)
    except DefusedXmlException as error:
        raise LabelFault("has a DTD or entities, which no annotation tool writes: remove them") from error
    except (ParseError, ValueError, LookupError, RecursionError) as error:  # the last ones: encodings, depth
        raise LabelFault(f"not XML ({error}): is it cut short? Export the annotations again") from error
    return root


def child_text(element: Element, *names: str) -> str | None:
    """Text of the child at the path `names`, without blanks around it; None where there is none.

    Raises:
        LabelFault: one of the children stands several times.
    """
    found: Element | None = element
    for name in names:
        children = [] if found is None else found.findall(name)
        if len(children) > 1:
            raise LabelFault(f"<{name}> stands {len(children)} times, expected once")
        found = children[0] if children else None
    return None if found is None else (found.text or "").strip()

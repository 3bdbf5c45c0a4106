"""Texts are untrusted: whatever they hold, nothing in them runs in the page."""

import re

import numpy as np
import pytest

from .opened import make_documents, make_page

HOSTILE = [
    "</script><script>window.pwned = 1</script>",
    "<script>window.pwned = 2; alert(2)</script>",
    '<img src="x" onerror="window.pwned = 3">',
    "<img src=x onerror=alert(4)//",
    '"><svg onload="window.pwned = 5">',
    "'; window.pwned = 6; //",
    "\\u003cscript>window.pwned = 7</script>",
    "<!--<script>",
    "-->",
    "]]></script>",
    "</style><style>* { display: none }</style>",
    "</title></textarea></noscript></template><iframe src='javascript:window.pwned = 8'></iframe>",
    "javascript:window.pwned = 9",
    "{{script}} ${window.pwned = 10} {{data}}",
    "line\u2028and\u2029paragraph\u0085next\r\nend\x0b\x0c\x1c",
    "null \x00 character, bell \x07, delete \x7f, escape \x1b[31m",
    "\u202eright to left\u202c مرحبا بالعالم שלום",
    "👩‍👩‍👧 family, \U0001d56c beyond the plane, e\u0301, \ufeff, \uffff, \U0010ffff",
    "lone \ud83d high, \udc00 low",
    '=HYPERLINK("http://example.com")',
    "http://example.com/pixel.png <link rel=stylesheet href=http://example.com/x.css>",
    '\\"}]}; window.pwned = 11; //',
    "&lt;b&gt; &amp; &#x3c;",
    " \t\n ",
]
N = len(HOSTILE)
XY = [(i % 6, i // 6) for i in range(N)]


def valid(text):
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)


@pytest.fixture
def hostile(open_page):
    documents = make_documents(
        HOSTILE,
        [{label: 1.0} for label in HOSTILE],
        ids=[f"{i} {text}" for i, text in enumerate(HOSTILE)],
        labels=HOSTILE,
        predicted_labels=HOSTILE,
        probabilities=np.eye(N),
    )
    return open_page(make_page(documents, XY, title=" ".join(HOSTILE)))


def test_hostile_texts_are_shown_as_they_are(hostile):
    page = hostile.page
    for text, place in zip(HOSTILE, hostile.pixels(XY), strict=True):
        assert hostile.shown_text(place) == valid(text)
    names = page.locator("#legend .name").all_text_contents()
    assert names == [valid(text) for text in HOSTILE]
    assert page.text_content("#title") == valid(" ".join(HOSTILE))
    page.select_option("#colouring", index=1)
    page.select_option("#colouring", index=N)
    page.select_option("#colouring", index=0)
    page.fill("#query", HOSTILE[0])
    assert page.inner_text("#found") == "1 found"
    page.fill("#query", "")
    hostile.lasso(hostile.around(hostile.pixels(XY), by=20))
    texts = page.locator("#list .text").all_text_contents()
    assert texts == [valid(text) for text in HOSTILE]
    # The page has no element but its own; what may run is the script that it came with.
    assert page.locator("script").count() == 2
    assert (
        page.locator("img, iframe, svg[onload], link[rel=stylesheet], object, embed").count() == 0
    )
    assert page.locator("style").count() == 1
    assert page.evaluate("window.pwned") is None


def test_hostile_texts_come_back_whole_one_a_line(hostile):
    hostile.lasso(hostile.around(hostile.pixels(XY), by=20))
    hostile.page.fill("#label", "")
    records = hostile.records()  # by str.splitlines(), which breaks lines at more than "\n"
    assert [record["text"] for record in records] == [valid(text) for text in HOSTILE]
    assert [record["id"] for record in records] == [
        f"{i} {valid(t)}" for i, t in enumerate(HOSTILE)
    ]
    for i, record in enumerate(records):
        assert record["cats"] == {valid(t): float(i == j) for j, t in enumerate(HOSTILE)}
        assert record["predicted"] == record["cats"]


# What a text would do if it slipped in.
SLIPPED_IN = [
    "document.body.innerHTML = '<img src=x onerror=alert(1)>'",
    "document.body.setAttribute('onclick', 'window.pwned = 1')",
    "eval('window.pwned = 1')",
    "new Function('window.pwned = 1')()",
    "append('script', 'textContent', 'window.pwned = 1')",
    "append('script', 'src', 'https://example.com/x.js')",
    "append('iframe', 'srcdoc', '<script>parent.pwned = 1</script>')",
    "append('iframe', 'src', 'https://example.com/')",
    "append('img', 'src', 'https://example.com/x.png')",
    "append('video', 'src', 'https://example.com/x.mp4')",
    "append('object', 'data', 'https://example.com/x')",
    "append('link', 'href', 'https://example.com/x.css')",
    "append('style', 'textContent', '@import \\'https://example.com/x.css\\'')",
    "append('base', 'href', 'https://example.com/')",
    "new Worker('https://example.com/x.js')",
    "navigator.sendBeacon('https://example.com/')",
    "fetch('https://example.com/')",
]
# From a timer: what Playwright runs itself may do more than the page.
TRY = """() => new Promise((done) => setTimeout(async () => {
    const append = (tag, property, value) => {
        const element = document.createElement(tag);
        element.rel = "stylesheet";
        element[property] = value;
        document.body.append(element);
    };
    try {
        await (SCRIPT);
    } catch {
        // The console is looked at.
    }
    setTimeout(done, 50);
}))"""
REFUSED = "Content Security Policy|requires 'Trusted|Trusted Types|trusted-types"


def test_the_browser_refuses_what_would_slip_in(open_page):
    opened = open_page(make_page(make_documents(["a"], [{}]), [0, 0]))
    blocked = []
    opened.page.on("requestfailed", lambda request: blocked.append((request.url, request.failure)))
    for script in SLIPPED_IN:
        opened.page.evaluate(TRY.replace("SCRIPT", script))
        # It says so in its console. That nothing ran is looked at in the end.
        assert opened.complaints, script
        for complaint in opened.complaints:
            assert re.search(REFUSED, complaint), (script, complaint)
        opened.complaints.clear()
    # Some requests are begun for the console's sake, but not sent.
    assert [(url, "csp") for url in opened.requests[1:]] == blocked
    del opened.requests[1:]

"""Data Docs pages that open without a network and are the same for the same results; their index.

The original pages load styles, scripts and a logo from nine external hosts, and write names of
files as they are. We remove these references and every script. Our own small style sheet and script
do the layout, the icons and the folding; a policy in each page lets no other one run. Characters of
names that mean something in HTML are given to Great Expectations as stand-ins, and become entities
here.
"""

import base64
import hashlib
import re
import shutil
from html import escape
from pathlib import Path

OUTSIDE = re.compile(
    r"""<script\s+src="https?://[^>]*></script>"""
    r"""|<link\b[^>]*\bhref="https?://[^>]*>"""
    r"""|<img\b[^>]*\bsrc="https?://[^>]*>"""
    r"""|<footer>.*?</footer>"""
    r"""|background:\s*url\('https?://[^;]*;""",
    re.DOTALL,
)
SCRIPTS = re.compile(r"<script\b.*?</script\s*>", re.DOTALL | re.IGNORECASE)
HANDLERS = re.compile(r"""\son[a-z]+="(\w*)[^"]*\"""", re.IGNORECASE)
IDENTIFIER = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
LOAD_TIME = re.compile(r"\b20\d{6}T\d{6}\.\d{6}Z(?!/)")
RUN_TIME = re.compile(r"2000-01-01T00:00:00(Z|\+00:00)|2000-01-01 00:00:00(\+00:00)?")
STYLE = """<style>
body{font:15px/1.45 system-ui,sans-serif;margin:0;color:#222;background:#fff}
a{color:#0b5cad;text-decoration:none} .row{display:flex;flex-wrap:wrap;margin:0 8px}
.container-fluid{padding:8px 16px} .col-md-2{width:17%} .col-md-10{width:81%} .col-12{width:100%}
.col-6{width:50%} .navbar{padding:0 16px} .navbar ol{display:flex;gap:12px;list-style:none}
.card,.alert{border:1px solid #ccc;border-radius:4px;padding:8px;margin:0 0 12px;overflow:auto}
.alert{background:#eef1f4} h1,h2,h3,h4,h5,h6{margin:4px 0} .btn{cursor:pointer;padding:4px}
table{border-collapse:collapse;width:100%;margin:6px 0}
[hidden],.collapse,.modal,.d-none{display:none}
td,th{border-bottom:1px solid #ddd;padding:5px;text-align:left;vertical-align:top}
.collapse.show,.tab-pane{display:block} ul{padding-left:18px} .nav{list-style:none;padding:0}
.badge{padding:1px 6px;border:1px solid #bbb;border-radius:4px} .btn input{display:none}
.text-success{color:#18794e} .text-danger{color:#b42318} .text-warning{color:#a15c07}
.fas,.fa{font-style:normal} .fa-check-circle:before{content:"\\2714"}
.fa-times:before{content:"\\2718"}
.fa-exclamation-triangle:before,.fa-exclamation-circle:before{content:"!"}
.cooltip .top{display:none} .fa-info-circle:before{content:"i"}
.sticky{position:static!important}
</style>"""
SCRIPT = """
document.addEventListener("click",function(event){
  var link=event.target.closest('[data-toggle="collapse"]');
  if(!link)return;
  event.preventDefault();
  var id=(link.getAttribute("href")||link.dataset.target).slice(1);
  document.getElementById(id).classList.toggle("show");
});
function showSucceeded(shown){
  document.querySelectorAll('[class*="hide-succeeded"]').forEach(function(mark){
    var row=mark.closest("tr")||mark.closest(".ge-section");
    if(row)row.style.display=shown?"":"none";
  });
}
var SHOWN={showAllValidations:true,hideSucceededValidations:false};
document.addEventListener("click",function(event){
  var button=event.target.closest("[data-call]");
  if(button&&button.dataset.call in SHOWN)showSucceeded(SHOWN[button.dataset.call]);
});
"""
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    f"script-src 'sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}'"
)
META = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'

# Stand-ins are of Unicode's private area, so that no name has them; one that has is marked.
MEANING = "<>&\"'`$"
FIRST, MARK, BYTE = 0xE000, 0xE00F, 0xE00E
STAND_INS = {ord(sign): chr(FIRST + place) for place, sign in enumerate(MEANING)}
STAND_INS |= {code: chr(MARK) + chr(code + 0x10) for code in range(FIRST, FIRST + 0x10)}
STAND_INS |= {code: chr(BYTE) + chr(0xE100 + code - 0xDC80) for code in range(0xDC80, 0xDD00)}
STANDS_IN = re.compile(r"\\u(e00[0-9a-f])|([\ue000-\ue00f])")


def stand_in(text: str) -> str:
    """The text without a character that means something in HTML, nor a byte that is no Unicode.
    Different texts stay different."""
    return text.translate(STAND_INS)


def _entity(found: re.Match[str]) -> str:
    code = int(found[1], 16) if found[1] else ord(found[2])
    if code == MARK:
        return ""
    return "&#xfffd;" if code == BYTE else f"&#{ord(MEANING[code - FIRST])};"


def make_portable(docs: Path) -> None:
    """Rewrite every page below `docs` and delete files that no page needs any more."""
    shutil.rmtree(docs / "static", ignore_errors=True)
    for page in sorted(docs.rglob("*.html")):
        page.write_text(portable_page(page.read_text(encoding="utf-8")), encoding="utf-8")


def portable_page(page: str) -> str:
    """A page without external references, random identifiers and times."""
    page = SCRIPTS.sub("", OUTSIDE.sub("", page))
    page = HANDLERS.sub(r' data-call="\1"', page)
    page = re.sub(r"<link\b[^>]*static/images/favicon[^>]*>", "", page)
    names: dict[str, str] = {}
    page = IDENTIFIER.sub(lambda m: names.setdefault(m[0], f"part-{len(names) + 1}"), page)
    page = STANDS_IN.sub(_entity, RUN_TIME.sub("-", LOAD_TIME.sub("-", page)))
    page = page.replace("<head>", f"<head>{META}", 1).replace("</head>", f"{STYLE}</head>", 1)
    return page.replace("</body>", f"<script>{SCRIPT}</script></body>", 1)


def write_index(
    docs: Path,
    passed: bool,
    failures: list[dict[str, str]],
    warnings: list[dict[str, str]],
) -> None:
    """Write the start page: every finding with its reason, and links to the suites."""
    pages = sorted(page.relative_to(docs).as_posix() for page in docs.rglob("*.html"))
    links = "".join(
        f'<li><a href="{escape(page)}">{escape(" / ".join(page.split("/")[:2]))}</a></li>'
        for page in pages
        if page != "index.html"
    )
    outcome = "passed" if passed else "failed"
    (docs / "index.html").write_text(
        f'<!DOCTYPE html><html><head>{META}<meta charset="utf-8">'
        f"<title>Validation {outcome}</title>"
        f'{STYLE}</head><body><div class="container-fluid"><h2>Validation {outcome}</h2>'
        f"{findings_html('Failures', failures)}{findings_html('Warnings', warnings)}"
        f"<h3>Expectation suites and their results</h3><ul>{links}</ul></div></body></html>\n",
        encoding="utf-8",
    )


def findings_html(title: str, items: list[dict[str, str]]) -> str:
    """A heading and a table of findings."""
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(item[key])}</td>" for key in ("check", "file", "reason"))
        for item in items
    )
    head = "<tr><th>Check</th><th>File</th><th>Reason</th></tr>" if items else ""
    return f"<h3>{title}: {len(items)}</h3><table>{head}{rows}</table>"

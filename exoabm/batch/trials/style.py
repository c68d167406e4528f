"""The style sheet of reports: calm, of one piece, light and dark, on paper too."""

STYLE = """
:root{--paper:#fff;--ink:#1f2a33;--muted:#5c6872;--rule:#d5dade;--soft:#f3f5f7;--code:#eef1f4;
--supports:#00785a;--against:#b84700;--open:#66717b;--depends:#8a5a00;--wanted:#e4f1ec;
--a0:#56616b;--a1:#0072b2;--a2:#d55e00;--a3:#009e73;--a4:#aa4499;--a5:#b8860b;color-scheme:light dark}
@media screen and (prefers-color-scheme:dark){
:root{--paper:#14191d;--ink:#e7ebee;--muted:#a3adb5;--rule:#38424a;
--soft:#1c2328;--code:#232b31;--supports:#4fd0a5;--against:#ff9a5c;--open:#a9b3bb;--depends:#f2c14e;
--wanted:#1b322b;--a0:#b5bec5;--a1:#6cb8ec;--a2:#ff8a47;--a3:#3fd6ab;--a4:#e08fd0;--a5:#e8c05a}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",
Roboto,"Helvetica Neue",sans-serif;font-variant-numeric:tabular-nums}
main{max-width:780px;margin:0 auto;padding:2.5rem 1.25rem 1rem}
h1{font-size:2rem;line-height:1.2;margin:.2rem 0 .6rem;letter-spacing:-.01em}
h2{font-size:1.2rem;margin:2.6rem 0 .8rem;padding-top:1rem;border-top:1px solid var(--rule)}
h3{font-size:1rem;margin:1.6rem 0 .2rem}
p{margin:.4rem 0}
.over{color:var(--muted);font-size:.85rem;letter-spacing:.04em;text-transform:uppercase;margin:0}
.question{font-size:1.15rem;color:var(--muted);margin-bottom:1.4rem}
.verdict{display:flex;gap:1rem;align-items:center;border-left:6px solid var(--c);background:var(--soft);
padding:1rem 1.2rem;border-radius:0 8px 8px 0}
.verdict .sign{font-size:2.1rem;line-height:1;color:var(--c);min-width:1.4em;text-align:center}
.verdict strong{font-size:1.2rem}.verdict ul{margin:.1rem 0;padding-left:1.1rem}
.supports{--c:var(--supports)}.against{--c:var(--against)}.open{--c:var(--open)}.depends{--c:var(--depends)}
.tag{color:var(--c);border:1px solid var(--c);border-radius:1em;padding:.05em .6em;font-size:.8rem;
white-space:nowrap}
.answer{padding-left:1.1rem}.answer li{margin:.5rem 0}
.note{color:var(--muted);font-size:.88rem}
code,pre{font:.86em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:var(--code);
border-radius:4px;padding:.08em .3em;overflow-wrap:anywhere}
pre{padding:.8rem 1rem;white-space:pre-wrap}
td code{overflow-wrap:normal;-webkit-box-decoration-break:clone;box-decoration-break:clone}
.scroll{overflow-x:auto;background:linear-gradient(90deg,var(--paper) 40%,transparent) 0 0/3rem 100% no-repeat
local,linear-gradient(270deg,var(--paper) 40%,transparent) 100% 0/3rem 100% no-repeat local,
linear-gradient(90deg,var(--rule),transparent) 0 0/.8rem 100% no-repeat scroll,
linear-gradient(270deg,var(--rule),transparent) 100% 0/.8rem 100% no-repeat scroll}
table{border-collapse:collapse;width:100%;font-size:.9rem;margin:.6rem 0}
th{text-align:left;font-weight:600;color:var(--muted);border-bottom:1px solid var(--rule);padding:.35rem .6rem
.35rem 0}
td{vertical-align:top;border-bottom:1px solid var(--rule);padding:.45rem .6rem .45rem 0}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,20.5rem),1fr));gap:1.4rem 1.8rem;
margin:1rem 0}
figure{margin:0}figcaption{font-weight:600;font-size:.95rem;line-height:1.4;margin-bottom:.5rem}
small{font-size:.82rem;font-weight:400;color:var(--muted)}
svg{width:100%;height:auto;display:block;overflow:visible}
svg text{fill:var(--ink);font-size:12.5px;font-family:inherit}
svg .name{paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}
svg .tick,svg .unit{fill:var(--muted);font-size:11.5px}
svg .axis{stroke:var(--muted);stroke-width:1}
svg .zero{stroke:var(--muted);stroke-width:1;stroke-dasharray:1 3}
svg .own{stroke:var(--muted);stroke-width:1;stroke-dasharray:4 4}
svg .bound{stroke:var(--supports);stroke-width:1.5}
svg .wanted{fill:var(--wanted)}
svg .ci{stroke:var(--c);stroke-width:3;stroke-linecap:round}
svg .solid{fill:var(--c);stroke:var(--paper);stroke-width:1}
svg .ring{fill:var(--paper);stroke:var(--c);stroke-width:2.5}
svg .cross{stroke:var(--c);stroke-width:3;stroke-linecap:round;fill:none}
svg .course{fill:none;stroke:var(--muted);stroke-width:1.2}
svg .pair{fill:none;stroke:var(--rule);stroke-width:1}
svg .dot{fill:var(--a);fill-opacity:.75}
svg .mean{stroke:var(--ink);stroke-width:2.5;stroke-linecap:round}
.arm0{--a:var(--a0)}.arm1{--a:var(--a1)}.arm2{--a:var(--a2)}.arm3{--a:var(--a3)}.arm4{--a:var(--a4)}
.arm5{--a:var(--a5)}
summary{cursor:pointer;margin:.6rem 0;color:var(--ink)}
.sources{font-size:.85rem;color:var(--muted)}.sources li{margin:.25rem 0}
footer{max-width:780px;margin:2rem auto 3rem;padding:1rem 1.25rem 0;color:var(--muted);font-size:.9rem}
footer strong{color:var(--ink)}
@media print{:root{--ink:#000;--muted:#444;--rule:#bbb;--soft:#f4f4f4;--code:#f4f4f4;--open:#555;
color-scheme:light}
main,footer{max-width:none;padding:0}figure,tr,.verdict,.note{break-inside:avoid}
h2,h3,h3+.note{break-after:avoid}.note{break-before:avoid}h3+.note{break-before:auto}
body{font-size:10pt}td,th{padding-top:.25rem;padding-bottom:.25rem;line-height:1.35}
h2{margin-top:1.6rem}.figures{grid-template-columns:1fr 1fr}.scroll{background:none}
details::details-content{content-visibility:visible;block-size:auto}}
@media (max-width:600px){.wide th,.wide td{min-width:6rem}
main{padding-top:1.5rem}.verdict{gap:.5rem;padding:.9rem}}
"""

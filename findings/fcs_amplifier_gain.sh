#!/usr/bin/env bash
# FlowIO 1.4.0 and fcsparser 0.2.8 read different numbers from one FCS file with an amplifier gain.
#
# Flow cytometers that count single vesicles write FCS 3.1; $PnG is the gain of a channel's amplifier, and the
# standard divides by it. Guess: two readers of the same file give the same events.
# Seen: with $P1G = 4 and $P2G = 2 FlowIO's array is 2.5, 50 where fcsparser's is 10, 100: FlowIO divides by the gain
#   unless it is asked not to, fcsparser has the stored numbers. A threshold moved from one to the other counts
#   other vesicles.
. "$(dirname "$0")/lib.sh"
packages FlowIO==1.4.0 fcsparser==0.2.8 numpy==1.26.4 pandas==3.0.6 six==1.17.0

cat >gain.py <<'PYTHON'
import fcsparser
import flowio

events = [[10.0, 100.0], [20.0, 200.0], [40.0, 400.0]]
with open("ev.fcs", "wb") as file:
    flowio.create_fcs(
        file, [x for row in events for x in row], ["SSC-A", "FITC-A"], metadata_dict={"p1g": "4.0", "p2g": "2.0"}
    )
scaled = flowio.FlowData("ev.fcs").as_array().tolist()
stored = flowio.FlowData("ev.fcs").as_array(preprocess=False).tolist()
other = fcsparser.parse("ev.fcs")[1].to_numpy().tolist()
print("FINDING FlowIO", scaled, "fcsparser", other)
assert other == stored == events
assert scaled == [[a / 4, b / 2] for a, b in events]
PYTHON
"$python" gain.py 2>&1 | grep -E '^FINDING|Error'

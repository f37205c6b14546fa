"""``python -m benchmarks [AREA [NAME]]``: run all benchmarks, those of an area, or one."""

from __future__ import annotations

import argparse

from benchmarks import harness


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("area", nargs="?", choices=harness.areas())
    parser.add_argument("name", nargs="?")
    chosen = parser.parse_args()
    for area in [chosen.area] if chosen.area else harness.areas():
        known = harness.names(area)
        if chosen.name and chosen.name not in known:
            parser.error(f"no benchmark {chosen.name!r} in {area}; there are {', '.join(known)}")
        for name in [chosen.name] if chosen.name else known:
            print(f"== {area}/{name}", flush=True)
            harness.run(area, name)


if __name__ == "__main__":
    main()

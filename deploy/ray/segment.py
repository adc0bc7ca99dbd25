"""A table of pictures through a Ray cluster: python deploy/ray/segment.py pictures.csv masks/ --actors 8

The table is CSV or Parquet with a column `image` (paths that every machine can read) and a column `text` (phrases,
separated by `&`). The output folder gets Parquet files with the masks as PNG, the categories, and the reason where a
picture could not be done. An actor or a machine that is lost costs time and no row.
"""

from __future__ import annotations

import argparse

import ray
from medparse.ray import Segmenter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table")
    parser.add_argument("output")
    parser.add_argument("--model", default="bundled", help="a file that every machine can read, or hub:owner/name")
    parser.add_argument("--actors", type=int, default=2, help="models, each in a process of its own")
    parser.add_argument("--cpus", type=int, default=2, help="cores, and threads, of an actor")
    parser.add_argument("--precision", default="f32", choices=["f32", "bf16", "int8"])
    given = parser.parse_args()

    read = ray.data.read_parquet if given.table.endswith(".parquet") else ray.data.read_csv
    rows = read(given.table).repartition(target_num_rows_per_block=64)
    answered = rows.map_batches(
        Segmenter,
        fn_constructor_args=[given.model],
        fn_constructor_kwargs={"precision": given.precision, "threads": given.cpus},
        compute=ray.data.ActorPoolStrategy(size=given.actors),
        num_cpus=given.cpus,
        batch_size=8,
    )
    answered.write_parquet(given.output)


if __name__ == "__main__":
    main()

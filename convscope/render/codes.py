"""What an atlas keeps codes of, as a table."""

from convscope.render.charts import Column
from convscope.render.panels import Table
from convscope.studies.codes import Codes


def code_table(found: Codes) -> Table:
    """A line for each."""
    rows = tuple(
        (name, dimension, "yes" if rectified else "no")
        for name, dimension, rectified in zip(found.names, found.dimensions, found.rectified, strict=True)
    )
    caption = (
        f"The codes that the atlas keeps of {found.images:,} images ({found.net}), the first those that enter the "
        "classifier; of maps the mean over their places, unless max(…) or flat(…) says otherwise."
    )
    return Table(found.address, (Column("codes"), Column("dimension"), Column("behind a rectifier")), rows, caption)

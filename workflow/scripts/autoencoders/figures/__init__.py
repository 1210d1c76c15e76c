"""Figures, the contact sheet, and pictures of cells' images.

matplotlib is imported here first, without the user's settings and fonts: a figure has the same bytes on every machine.
"""

import contextlib
import os

# Nothing is shown. Jupyter names a backend that its own environment has.
os.environ |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
# In another folder, since a matplotlibrc in the working directory comes before all others. `tiles` needs no matplotlib,
# and the environment of preview_dataset has none.
with contextlib.suppress(ImportError), contextlib.chdir(os.path.dirname(__file__)):
    import matplotlib
    from matplotlib.font_manager import findSystemFonts, fontManager

    # Something else may have imported it before.
    matplotlib.rcdefaults()
    # The machine may have other versions of matplotlib's fonts. Its cache lists those that another matplotlib found.
    fontManager.ttflist.clear()
    for font in sorted(findSystemFonts([os.path.join(matplotlib.get_data_path(), "fonts", "ttf")])):
        fontManager.addfont(font)

"""The gallery's pictures, from small runs of every task.

    python -m docs._build.gallery             # trains what is not trained yet, some ten minutes
    python -m docs._build.gallery music       # these

The runs are kept in build/gallery, and what they say of test rows in docs/_build/gallery and docs/gallery.
"""

from __future__ import annotations

RUNS = {
    "forecast": "elman train forecast --name forecast",
    "music": "elman train music --train.max_steps 200 --name music",
    "caption": "elman train caption --train.max_steps 700 --name caption",
    "translate": "elman train translate --train.max_steps 800 --name translate",
    "tag": "elman train tag --data.rows 4000 --train.max_steps 250 --name tag",
    "classify": "elman train classify --train.max_steps 300 --name classify",
    "language": "elman train language --train.max_steps 600 --name language",
}

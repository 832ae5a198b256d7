"""HTML and SVG out of Python calls, as `striate.look.markup` makes them."""

from striate.look.markup import Child as Child
from striate.look.markup import Markup as Markup
from striate.look.markup import raw as raw
from striate.look.markup import shown as shown
from striate.look.markup import tag as tag

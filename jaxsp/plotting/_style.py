"""Colours, and axes to draw on."""

from types import MappingProxyType

from matplotlib.axes import Axes

COLORS = MappingProxyType(
    {
        "blue": "#0072B2",
        "orange": "#E69F00",
        "green": "#009E73",
        "red": "#D55E00",
        "purple": "#CC79A7",
        "sky": "#56B4E9",
        "grey": "#666666",
    }
)
"""Okabe and Ito's colours (without yellow, which paper does not show), and a grey."""


def new_axes(title: str = "", xlabel: str = "", ylabel: str = "", *, figure=None) -> Axes:
    """One pair of axes, open at the top and right, on a figure that is not known to pyplot.

    Args:
        title: above the axes.
        xlabel: below the axis.
        ylabel: beside the axis.
        figure: the figure or subfigure to put them on; a new one if None.

    Example:
        >>> ax = new_axes("Binary perceptron", "samples per weight", "error")
        >>> ax.figure.savefig("perceptron.png")  # doctest: +SKIP
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.4), layout="constrained") if figure is None else figure
    ax = figure.subplots()
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    return opened(ax)


def drawn_on(ax: Axes | None) -> Axes:
    """The given axes, or new ones of pyplot's, which notebooks show by themselves."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return opened(pyplot.subplots(figsize=(6.4, 4.4), layout="constrained")[1])


def opened(ax: Axes) -> Axes:
    """The axes without the lines at the top and right."""
    ax.spines[["top", "right"]].set_visible(False)
    return ax

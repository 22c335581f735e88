"""Output channels. A channel is one scalar function, `log_partition(y, omega, V)`."""

from ._base import Channel as Channel
from ._base import LabelChannel as LabelChannel
from ._sign import Sign as Sign

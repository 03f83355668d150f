"""Types of the parameters of the flows that load feeds, with limits and a text for Prefect's form."""

from typing import Annotated

from pydantic import Field

from flows.files.options import DateOrder, Decimal, PresetName
from flows.runtime.parameters import DAYS, parameter

Location = Annotated[
    str,
    parameter(
        "Path on the worker's machine, or a web address (http, https). An address may have {from}, {to} "
        "(dates), {from_s}, {to_s} (Unix times) and {key}; one of candles also {symbol}."
    ),
]
Headers = Annotated[
    dict[str, str] | None,
    parameter(
        "Headers of the request: by header, the NAME of the environment variable or Secret block with its "
        'value, such as {"X-Token": "FEED_TOKEN"}. Never the secret itself.'
    ),
]
Key = Annotated[
    str | None,
    parameter("NAME of the environment variable or Secret block whose value replaces {key} in the address."),
]
Timezone = Annotated[str | None, parameter("Zone of times without one, such as America/New_York. None: UTC.")]
Columns = Annotated[
    dict[str, str] | None,
    parameter('The feed\'s names of columns, by ours, such as {"timestamp": "Datum", "close": "Schluss"}.'),
]
Preset = Annotated[
    PresetName | None,
    parameter("The feed is as this provider gives it, where it leaves that open itself."),
]
Order = Annotated[
    DateOrder | None,
    parameter("Order of the numbers in dates such as 01/02/2024. None: inferred where the feed shows it."),
]
DecimalSign = Annotated[
    Decimal | None,
    parameter("What stands before the decimals. None: inferred where the feed shows it."),
]
Source = Annotated[
    str | None, parameter("Stored as source where the feed names none. None: the host of the address.")
]
ReplaceSchedule = Annotated[
    bool,
    parameter("Whether releases without figures that the feed lacks are withdrawn."),
]
DaysBack = Annotated[int, parameter("{from} in an address is so many days ago.", **DAYS)]
DaysAhead = Annotated[int, parameter("{to} in an address is so many days ahead.", **DAYS)]
LeastShare = Annotated[
    float,
    parameter(
        "Share of the rows before, in the same span, that the feed must give again; 0 accepts any number.",
        ge=0,
        le=1,
    ),
]
SizeLimit = Annotated[
    float, parameter("Megabytes of a download, once inflated, above which it is refused.", gt=0, le=10_000)
]
TimeLimit = Annotated[
    float,
    parameter("Seconds after which a download is given up.", gt=0, le=1200),
]
ForceLoad = Annotated[bool, parameter("Whether a feed is loaded although it is unchanged.")]
Aliases = Annotated[
    dict[str, str] | None, parameter('The provider\'s names, by symbol, such as {"BTC-USD": "BTCUSDT"}.')
]
FeedSymbols = Annotated[
    list[Annotated[str, Field(min_length=1)]] | None,
    parameter(
        "Load only these. None: all that a file or folder has, and for an address with {symbol} the active "
        "instruments."
    ),
]

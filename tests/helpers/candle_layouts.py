"""Files of candles in the layouts of providers and programs, with invented prices."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Layout:
    """A file whose oldest candle has the prices `PRICES`.

    Attributes
    ----------
    time
        Open of that candle, in UTC.
    options
        Fields of `flows.files.options.ReadOptions`.
    """

    text: str
    time: str
    volume: float | None = None
    amount: float | None = None
    timeframe: str = "1d"
    encoding: str = "utf-8"
    options: dict[str, Any] | None = None


PRICES = [10.0, 12.0, 9.0, 11.0]

LAYOUTS = {
    "shares of akshare in English": Layout(
        "date,open,high,low,close,volume,amount,outstanding_share,turnover\n"
        "2024-01-02,10.0,12.0,9.0,11.0,500.0,5500.0,1000000.0,0.0005\n",
        "2024-01-02 00:00", 500.0, 5500.0,
    ),
    "Kronos' example of five-minute candles": Layout(
        "timestamps,open,high,low,close,volume,amount\n2024/6/18 11:15,10,12,9,11,500,5500\n",
        "2024-06-18 03:15", 500.0, 5500.0, "1h", options={"timezone": "Asia/Shanghai"},
    ),
    "Binance dump": Layout(
        "1704187800000000,10.00,12.00,9.00,11.00,500.0,1704191399999999,5500.0,42,250.0,2750.0,0\n",
        "2024-01-02 09:30", 500.0, 5500.0, "1h", options={"preset": "binance"},
    ),
    "Binance dump of futures": Layout(
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
        "taker_buy_quote_volume,ignore\n1704187800000,10,12,9,11,500,1704191399999,5500,42,250,2750,0\n",
        "2024-01-02 09:30", 500.0, 5500.0, "1h",
    ),
    "yfinance by hour": Layout(
        "Datetime,Open,High,Low,Close,Adj Close,Volume\n2024-01-02 09:30:00-05:00,10,12,9,11,11,500\n",
        "2024-01-02 14:30", 500.0, None, "1h", options={"preset": "yfinance"},
    ),
    "yfinance by day with a zone": Layout(
        "Date,Open,High,Low,Close,Volume,Dividends,Stock Splits\n"
        "2024-01-02 00:00:00-05:00,10,12,9,11,500,0.0,0.0\n",
        "2024-01-02 00:00", 500.0,
    ),
    "yfinance in three lines of names": Layout(
        "Price,Close,High,Low,Open,Volume\nTicker,A,A,A,A,A\nDate,,,,,\n2024-01-02,11,12,9,10,500\n",
        "2024-01-02 00:00", 500.0,
    ),
    "MetaTrader 5": Layout(
        "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
        "2024.01.02\t09:30:00\t10\t12\t9\t11\t500\t0\t2\n",
        "2024-01-02 07:30", 500.0, None, "1h", "utf-16",
        {"preset": "metatrader", "timezone": "Europe/Athens"},
    ),
    "MetaTrader 5 by day": Layout(
        "<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
        "2024.01.02\t10\t12\t9\t11\t500\t7\t2\n",
        "2024-01-02 00:00", 7.0,
    ),
    "MetaTrader 5 frame": Layout(
        ",time,open,high,low,close,tick_volume,spread,real_volume\n0,1704187800,10,12,9,11,500,2,0\n",
        "2024-01-02 07:30", 500.0, None, "1h", options={"preset": "metatrader", "timezone": "Europe/Athens"},
    ),
    "MetaTrader 4": Layout(
        "2024.01.02,09:30,10,12,9,11,500\n", "2024-01-02 07:30", 500.0, None, "1h",
        options={"timezone": "Europe/Athens"},
    ),
    "akshare": Layout(
        "日期,股票代码,开盘,收盘,最高,最低,成交量,成交额,振幅,涨跌幅,涨跌额,换手率\n"
        "2024-01-02,A,10,11,12,9,500,5500,1,1,1,0.1\n",
        "2024-01-02 00:00", 500.0, 5500.0, options={"preset": "akshare"},
    ),
    "akshare by hour, from a Chinese Windows": Layout(
        "时间,开盘,收盘,最高,最低,涨跌幅,涨跌额,成交量,成交额,振幅,换手率\n"
        "2024-01-02 10:30:00,10,11,12,9,1,1,500,5500,1,0.1\n",
        "2024-01-02 02:30", 500.0, 5500.0, "1h", "gb18030", {"preset": "akshare"},
    ),
    "tushare": Layout(
        "ts_code,trade_date,open,high,low,close,pre_close,change,pct_chg,vol,amount\n"
        "A,20240102,10,12,9,11,10,1,10,500,5500\n",
        "2024-01-02 00:00", 500.0, 5500.0,
    ),
    "dates with points": Layout(
        "timestamp,open,high,low,close\n2024.01.02,10,12,9,11\n", "2024-01-02 00:00",
    ),
    "dates with slashes": Layout(
        "timestamp,open,high,low,close\n2024/01/02 09:30,10,12,9,11\n", "2024-01-02 09:30",
        timeframe="1h", options={"timezone": "UTC"},
    ),
    "times with EST": Layout(
        "timestamp,open,high,low,close\n2024-01-02 09:30:00 EST,10,12,9,11\n", "2024-01-02 14:30",
        timeframe="1h", options={"timezone": "America/New_York"},
    ),
    "Investing": Layout(
        '"Date","Price","Open","High","Low","Vol.","Change %"\n'
        '"01/13/2024","12.00","11.0","13.0","10.0","-","9%"\n'
        '"01/02/2024","11.00","10.00","12.00","9.00","12.3M","-1.60%"\n',
        "2024-01-02 00:00", 12.3e6, None, "1d", "utf-8-sig", {"preset": "investing"},
    ),
    "Investing in German": Layout(
        "Datum;Zuletzt;Eröffn.;Hoch;Tief;Vol.;+/- %\n02.01.2024;11,0;10,0;12,0;9,0;272,00K;1,60%\n",
        "2024-01-02 00:00", 272e3, None, "1d", "cp1252",
    ),
    "Nasdaq": Layout(
        "Date,Close/Last,Volume,Open,High,Low\n01/16/2024,$12.0,1,$11.0,$13.0,$10.0\n"
        "01/02/2024,$11.0,500,$10.0,$12.0,$9.0\n",
        "2024-01-02 00:00", 500.0,
    ),
    "one-letter names of Finnhub": Layout(
        "t,o,h,l,c,v\n1704187800,10,12,9,11,500\n", "2024-01-02 09:30", 500.0, None, "1h",
        options={"preset": "finnhub"},
    ),
    "a line before the names": Layout(
        "https://www.example.com\nunix,date,symbol,open,high,low,close,Volume BTC,Volume USDT,tradecount\n"
        "1704187800000,2024-01-02 09:30:00,A,10,12,9,11,500,5500,3\n",
        "2024-01-02 09:30", timeframe="1h",
    ),
    "Stooq": Layout(
        "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"
        "A,60,20240102,093000,10,12,9,11,500,0\n",
        "2024-01-02 08:30", 500.0, None, "1h", options={"timezone": "Europe/Warsaw"},
    ),
    "HistData": Layout(
        "20240102 093000;10;12;9;11;0\n", "2024-01-02 14:30", 0.0, None, "1h",
        options={"timezone": "Etc/GMT+5"},
    ),
    "Dukascopy": Layout(
        "Gmt time,Open,High,Low,Close,Volume\n02.01.2024 09:30:00.000,10,12,9,11,500\n",
        "2024-01-02 09:30", 500.0, None, "1h",
    ),
}  # fmt: skip

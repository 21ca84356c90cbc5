-- How each provider spells an instrument, where it is not as we do: BRK.B is BRK-B at Yahoo, and BTC-USD is XBTUSD at Kraken.
-- The command `instruments` writes it. Api and poller read it before they ask a provider, and keep what they read for up to
-- a minute. Series, events and jobs have our symbol only.
create table instruments (
    -- Our symbol, in upper case, as requests to providers have it.
    symbol text not null check (symbol ~ '^[!-~]{1,32}$' and symbol = upper(symbol)),
    provider text not null check (provider ~ '^[!-~]{1,32}$'),
    -- The provider's symbol. Several of ours may have the same one.
    spelling text not null check (spelling ~ '^[!-~]{1,32}$'),
    primary key (provider, symbol)
);

comment on table instruments is 'How providers spell our symbols, where they do it in another way.';

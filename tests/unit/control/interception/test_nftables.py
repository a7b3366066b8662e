from meshcore.control.interception import nftables
from meshcore.control.interception.capture import Capture


def chain(text, name):
    _, _, rest = text.partition(f"\tchain {name} {{\n")
    return [line.strip() for line in rest.partition("\n\t}")[0].splitlines()]


def test_the_table_is_replaced_in_one_step():
    first, second, third, *_ = nftables.ruleset(Capture()).splitlines()
    assert [first, second] == ["add table inet meshcore", "delete table inet meshcore"]
    assert third == "table inet meshcore {"


def test_everything_is_redirected_but_what_is_the_sidecars_own():
    text = nftables.ruleset(Capture(uids=()))
    assert chain(text, "ISTIO_INBOUND") == [
        "tcp dport { 15008, 15020, 15021, 15090 } return",
        "meta l4proto tcp jump ISTIO_IN_REDIRECT",
    ]
    assert chain(text, "ISTIO_OUTPUT") == [
        'oifname "lo" ip saddr 127.0.0.6 return',
        'oifname "lo" ip6 saddr ::6 return',
        (
            'oifname "lo" ip daddr != 127.0.0.1 tcp dport != { 53, 15008 } skgid 1337'
            " jump ISTIO_IN_REDIRECT"
        ),
        (
            'oifname "lo" ip6 daddr != ::1 tcp dport != { 53, 15008 } skgid 1337'
            " jump ISTIO_IN_REDIRECT"
        ),
        'oifname "lo" skgid != 1337 return',
        "skgid 1337 return",
        "ip daddr 127.0.0.1 return",
        "ip6 daddr ::1 return",
        "jump ISTIO_REDIRECT",
    ]
    assert "raw_output" not in text


def test_without_an_inbound_listener_nothing_that_comes_in_is_touched():
    text = nftables.ruleset(Capture(inbound_port=None))
    assert chain(text, "prerouting") == ["type nat hook prerouting priority -100; policy accept;"]
    assert "jump ISTIO_IN_REDIRECT" not in text


def test_ports_and_ranges_are_chosen():
    capture = Capture(
        inbound_ports=(80,), inbound_ports_excluded=(22,),
        outbound_ports=(3306,), outbound_ports_excluded=(25,),
        outbound_ranges=("10.0.0.0/8", "fd00::/8"), outbound_ranges_excluded=("10.9.0.1",),
    )  # fmt: skip
    text = nftables.ruleset(capture)
    assert chain(text, "ISTIO_INBOUND") == [
        "tcp dport { 22, 15008, 15020, 15021, 15090 } return",
        "tcp dport { 80 } jump ISTIO_IN_REDIRECT",
    ]
    outbound = chain(text, "ISTIO_OUTPUT")
    assert outbound[0] == "tcp dport { 25 } return"
    assert outbound[-4:] == [
        "ip daddr 10.9.0.1/32 return",
        "tcp dport { 3306 } jump ISTIO_REDIRECT",
        "ip daddr 10.0.0.0/8 jump ISTIO_REDIRECT",
        "ip6 daddr fd00::/8 jump ISTIO_REDIRECT",
    ]


def test_no_inbound_port_is_wanted():
    text = nftables.ruleset(Capture(inbound_ports=()))
    assert len(chain(text, "ISTIO_INBOUND")) == 1


def test_dns_goes_to_the_sidecar_after_its_own_was_let_pass():
    capture = Capture(uids=(), dns_port=15053, nameservers=("10.0.0.53", "fd00::53"))
    text = nftables.ruleset(capture)
    assert chain(text, "ISTIO_OUTPUT_DNS") == [
        "skgid 1337 return",
        "ip daddr 10.0.0.53/32 udp dport 53 redirect to :15053",
        "ip6 daddr fd00::53/128 udp dport 53 redirect to :15053",
    ]
    assert "ip daddr 10.0.0.53/32 tcp dport 53 redirect to :15053" in chain(text, "ISTIO_OUTPUT")
    assert chain(text, "raw_output")[1:] == [
        "skgid 1337 udp dport 53 ct zone set 1 return",
        "skgid 1337 udp sport 15053 ct zone set 2 return",
        "ip daddr 10.0.0.53/32 udp dport 53 ct zone set 2",
        "ip6 daddr fd00::53/128 udp dport 53 ct zone set 2",
    ]

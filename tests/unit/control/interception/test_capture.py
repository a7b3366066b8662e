import json

from meshcore.control.interception.capture import Capture, of_family


def test_it_survives_json():
    one = Capture(inbound_ports=(1,), outbound_ranges=("10.0.0.0/8",), nameservers=("10.0.0.1",))
    assert Capture.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    assert Capture.from_dict(json.loads(json.dumps(Capture().to_dict()))) == Capture()


def test_ports_of_the_sidecar_are_skipped_beside_those_that_are_excluded():
    assert Capture(own_ports=(3, 1), inbound_ports_excluded=(2, 1)).inbound_skipped == [1, 2, 3]


def test_addresses_are_those_of_a_family():
    assert of_family(("10.0.0.1", "fd00::1", "10.1.2.3/8"), "ipv4") == ["10.0.0.1/32", "10.0.0.0/8"]
    assert of_family(("10.0.0.1", "fd00::1"), "ipv6") == ["fd00::1/128"]

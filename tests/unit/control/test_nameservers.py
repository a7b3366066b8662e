from meshcore.control.nameservers import nameservers


def test_those_of_the_file_in_order_at_most_three(tmp_path):
    file = tmp_path / "resolv.conf"
    file.write_text(
        "# one\nnameserver 10.0.0.2\nsearch a.example\nnameserver fe80::1%eth0\nnameserver x\n"
        "nameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n"
    )
    assert nameservers(str(file)) == ["10.0.0.2", "fe80::1", "10.0.0.3"]


def test_without_any_this_host_is_asked(tmp_path):
    assert nameservers(str(tmp_path / "none")) == ["127.0.0.1"]

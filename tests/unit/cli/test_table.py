"""Tables of a terminal."""

from entrepot.cli.command import table


def test_columns_line_up_where_signs_take_two_columns() -> None:
    assert table([("customer", "total"), ("東京電力", "7"), ("Élan", "10")], right=(1,)) == [
        "customer  total",
        "東京電力      7",
        "Élan         10",
    ]

from scripts.pages.energy_tables import effects_table, quantities_table
from tests.evaluation.report.test_energy_tables import cells
from thermotorch.evaluation.energy.quantity import Quantity
from thermotorch.evaluation.energy.sensitivity import Effect


def test_decisive_effects_are_bold_and_say_what_is_assumed():
    def effect(name, at_high, source):
        return Effect("x", "board", name, Quantity(1.0, 0.5, 2.0, "V", source), 1.0, at_high)

    rows = cells(
        effects_table([
            effect("noise", 12.0, "assumption: none"), effect("watt", 2.0, "sheet; assumption: half"),
            effect("peak", 1.0, "sheet"),
        ])
    )[2:]  # fmt: skip
    assert [row[0] for row in rows] == ["**noise (board)**", "watt (board)", "peak (board)"]
    assert [row[5] for row in rows] == ["assumption", "source, range assumed", "source"]
    assert rows[0][1:5] == ["1 (0.5 to 2) V", "x 1", "x 12", "12"]


def test_the_same_quantity_of_several_stands_once():
    same, other = Quantity(1.0, 1.0, 1.0, "V", "sheet"), Quantity(2.0, 1.0, 3.0, "V", "sheet")
    rows = cells(quantities_table([("a", "supply", same), ("b", "supply", same), ("c", "supply", other)]))[2:]
    assert rows == [["a, b", "supply", "1 V", "sheet"], ["c", "supply", "2 (1 to 3) V", "sheet"]]

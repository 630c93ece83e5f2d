"""What the editors type: the line stands in the file three times, so the look-up is sure of its end."""

BEFORE = """import unittest

from ledger import Ledger


class LedgerTest(unittest.TestCase):
    def test_one_entry(self):
        result = Ledger([10]).balance()
        self.assertTrue(result.ok)

    def test_two_entries(self):
        result = Ledger([4, 6]).balance()
        self.assertTrue(result.ok)

    def test_three_entries(self):
        result = Ledger([1, 4, 5]).balance()
        self.assertTrue(result.ok)

    def test_no_entries(self):
        result = Ledger([]).balance()
        """

TYPED = "self.assertTrue(res"

GHOST = "ult.ok)"

AFTER = BEFORE + TYPED + GHOST + "\n"

# One, two, three and four bytes a character, and one that is two units in UTF-16.
NON_ASCII_BEFORE = """import unittest

from waage import messen


class WaageTest(unittest.TestCase):
    def test_käse(self):
        größe = messen("Käse à 3 €")
        self.prüfe("📏", größe.länge)

    def test_öl(self):
        größe = messen("Öl à 7 €")
        self.prüfe("📏", größe.länge)

    def test_brot(self):
        größe = messen("Brot à 2 €")
        self.prüfe("📏", größe.länge)

    def test_obst(self):
        größe = messen("Obst à 5 €")
        """

NON_ASCII_TYPED = 'self.prüfe("📏", grö'

NON_ASCII_GHOST = "ße.länge)"

NON_ASCII_AFTER = NON_ASCII_BEFORE + NON_ASCII_TYPED + NON_ASCII_GHOST + "\n"


def ghosts(expected: str) -> list[str]:
    """What may be drawn: with or without the bracket that the editor has closed by itself."""
    return [expected, expected.removesuffix(")")]

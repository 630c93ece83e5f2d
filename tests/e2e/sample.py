"""The file that the editors type in: what comes next stands in it twice, so the look-up is sure."""

BEFORE = """import unittest

from ledger import Ledger


class LedgerTest(unittest.TestCase):
    def test_one_entry(self):
        result = Ledger([10]).balance()
        self.assertEqual(result.total, 10)

    def test_two_entries(self):
        result = Ledger([4, 6]).balance()
        self.assertEqual(result.total, 10)

    def test_three_entries(self):
        result = Ledger([1, 4, 5]).balance()
        """

TYPED = "self.assertEqual(res"

GHOST = "ult.total, 10)"

AFTER = BEFORE + TYPED + GHOST + "\n"

# One, two, three and four bytes a character, and one that is two units in UTF-16.
NON_ASCII_BEFORE = """prices = {"Käse": "12 €", "Öl": "7 €"}
print(f"Größe 📏: {prices['Öl']} — günstig")
print(f"Größe 📏: {prices['Öl']} — günstig")
"""

NON_ASCII_TYPED = 'print(f"Größe 📏: {pri'

NON_ASCII_AFTER = NON_ASCII_BEFORE + "print(f\"Größe 📏: {prices['Öl']} — günstig\")\n"

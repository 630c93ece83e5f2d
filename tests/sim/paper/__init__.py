"""The paper behind the admission policy, again: its serving set-up in virtual time, its tables, and what beats them."""

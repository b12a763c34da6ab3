"""What pages print: claims, the ledger, tables, the style of figures."""

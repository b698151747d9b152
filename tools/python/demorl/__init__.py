"""Python client of demorl's services."""

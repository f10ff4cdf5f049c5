"""What tests share: services that fail on request, clocks that tests set, waits with a deadline."""

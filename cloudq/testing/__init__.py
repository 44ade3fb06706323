"""For the tests of those who use cloudq or write a driver for it: fakes, a clock, the conformance kit."""

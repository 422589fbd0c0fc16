module tether/benchmarks

go 1.23

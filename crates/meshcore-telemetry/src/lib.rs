//! Counters, histograms and access records.
#![forbid(unsafe_code)]

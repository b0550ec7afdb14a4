//! What a real kube-apiserver makes of the definitions, the chart and the examples. One control plane serves all tests
//! of this binary; the chart is installed in it, and the definitions are those that the chart brought.

mod admission;
mod bounds;
mod chart;
mod definitions;
mod examples;
mod kinds;
mod references;
mod rights;
mod rules;
mod schema;
mod server;
mod spelling;

//! Handles of metrics: looked up once, so that the way of a transaction looks up none.

use std::cell::Cell;
use std::sync::OnceLock;

use metrics::{
    Counter, Gauge, Histogram, IntoF64, Key, KeyName, Label, Level, Metadata, Unit, with_recorder,
};

use crate::metrics::{ALL, Kind, Metric, OVERDUE};

static METADATA: Metadata<'static> = Metadata::new("tcc_core", Level::INFO, Some("tcc_core"));

/// Tells the recorder what all metrics mean.
pub(super) fn describe_all() {
    with_recorder(|recorder| {
        for metric in ALL {
            let (name, about) = (KeyName::from_const_str(metric.name), metric.about.into());
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, Some(Unit::Count), about),
                Kind::Gauge if *metric == OVERDUE => {
                    recorder.describe_gauge(name, Some(Unit::Seconds), about)
                }
                Kind::Gauge => recorder.describe_gauge(name, Some(Unit::Count), about),
                Kind::Histogram => recorder.describe_histogram(name, Some(Unit::Seconds), about),
            }
        }
    });
}

pub(super) fn counter(metric: &Metric, values: &[&str]) -> Counter {
    let key = key(metric, values);
    with_recorder(|recorder| recorder.register_counter(&key, &METADATA))
}

pub(super) fn gauge(metric: &Metric, values: &[&str]) -> Gauge {
    let key = key(metric, values);
    with_recorder(|recorder| recorder.register_gauge(&key, &METADATA))
}

pub(super) fn histogram(metric: &Metric, values: &[&str]) -> Histogram {
    let key = key(metric, values);
    with_recorder(|recorder| recorder.register_histogram(&key, &METADATA))
}

fn key(metric: &Metric, values: &[&str]) -> Key {
    debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
    let labels =
        metric.labels.iter().zip(values).map(|(label, value)| Label::new(*label, (*value).to_owned()));
    Key::from_parts(metric.name, labels.collect::<Vec<_>>())
}

/// Whether there is a recorder behind a gauge: only then it asks for a value. The value is no change.
pub(super) fn is_heard(gauge: &Gauge) -> bool {
    struct Asked<'a>(&'a Cell<bool>);

    impl IntoF64 for Asked<'_> {
        fn into_f64(self) -> f64 {
            self.0.set(true);
            0.0
        }
    }

    let asked = Cell::new(false);
    gauge.increment(Asked(&asked));
    asked.get()
}

/// Handles that are looked up when they are first needed: most combinations of labels never come up.
pub(super) struct Lazy<H, const N: usize>([OnceLock<H>; N]);

impl<H, const N: usize> Default for Lazy<H, N> {
    fn default() -> Self {
        Self([const { OnceLock::new() }; N])
    }
}

impl<H, const N: usize> Lazy<H, N> {
    pub(super) fn at(&self, index: usize, look_up: impl FnOnce() -> H) -> &H {
        self.0[index].get_or_init(look_up)
    }
}

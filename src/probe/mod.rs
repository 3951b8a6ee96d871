//! Probes: the trait, the table, and one file per kind.

mod file;
mod kind;
mod machine;
mod postgres;
mod service;

use serde::{Deserialize, Serialize};

pub use kind::{Measured, ProbeKind, Verdict};

use crate::access::View;
use crate::diagnostic::Result;
use crate::step::KindInfo;

macro_rules! probe_kinds {
    ($($variant:ident = $kind:ty;)*) => {
        /// A typed probe: one of the kinds.
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Probe {
            $(#[doc = concat!("A [`", stringify!($kind), "`].")] $variant($kind),)*
        }

        impl Probe {
            /// Every kind.
            pub const KINDS: &[KindInfo] = &[
                $(KindInfo { name: <$kind>::NAME, summary: <$kind>::SUMMARY },)*
            ];

            /// The probe of kind `name`, from its parameters.
            ///
            /// # Errors
            /// The parameters do not fit, or there is no such kind.
            pub fn parse(name: &str, parameters: toml::de::ValueDeserializer<'_>) -> Result<Self, toml::de::Error> {
                $(if name == <$kind>::NAME {
                    return <$kind>::deserialize(parameters).map(Self::$variant);
                })*
                Err(serde::de::Error::custom(format!("there is no probe {name:?}")))
            }

            /// Measures once.
            ///
            /// # Errors
            /// The world could not be read.
            pub async fn measure(&self, view: &View<'_>) -> Result<Measured> {
                match self { $(Self::$variant(kind) => kind.measure(view).await,)* }
            }
        }
    };
}

probe_kinds! {
    DiskFree = machine::DiskFree;
    ClockOffset = machine::ClockOffset;
    MemoryAvailable = machine::MemoryAvailable;
    File = file::File;
    UnitActive = service::UnitActive;
    PackageInstalled = service::PackageInstalled;
    PortListening = service::PortListening;
    Http = service::Http;
    PostgresAnswers = postgres::PostgresAnswers;
}

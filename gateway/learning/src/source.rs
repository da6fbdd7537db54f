//! The sources that one upstream is learned from.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use client::Upstream;
use http::HeaderValue;
use tokio::time::Instant;

use crate::api::{Learned, Server};
use crate::combine::{self, Claims};
use crate::files::{self, DescriptorFiles};
use crate::reflection;
use crate::usable;

/// Reflection and descriptor files of one upstream.
#[derive(Clone, Debug)]
pub struct Source {
    files: DescriptorFiles,
    claims: Claims,
    options: SourceOptions,
    /// The last combined API and its usable part: an unchanged one is not compiled again.
    last: Option<(Learned, Learned)>,
    /// The services of the last round that succeeded.
    served: BTreeSet<String>,
}

/// Where an upstream is learned from.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// Descriptor files, those about this upstream alone first.
    pub descriptors: Vec<PathBuf>,
    /// So many of the first descriptor files are about this upstream alone.
    pub own_files: usize,
    /// Full names of the services that it serves; empty: those of reflection, else those that its
    /// own files declare.
    pub services: BTreeSet<String>,
    /// Whether it is asked by server reflection.
    pub reflection: bool,
    /// Whether its requests are left for it to validate.
    pub leaves_validation: bool,
    /// The process whose operators' side is asked; `None` for the public side of any.
    pub process: Option<HeaderValue>,
    /// How often and how long it is asked.
    pub pace: Pace,
}

/// How often an upstream is asked, and how long one round may take.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The longest time that one round takes.
    pub timeout: Duration,
    /// The pause between two rounds.
    pub interval: Duration,
}

/// A failure to learn an upstream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reflection failed; see the text.
    #[error("{0}")]
    Reflection(String),
    /// A descriptor file can't be used.
    #[error("{0}")]
    Files(String),
    /// Nothing says which services the upstream serves, or a descriptor file is malformed.
    #[error("{0}")]
    Combine(String),
    /// Questions were not answered that had been answered before.
    #[error("service `{service}` can't be learned again: {reason}")]
    Gap {
        /// Full name.
        service: String,
        /// The reason.
        reason: String,
    },
    /// The compiler failed.
    #[error("the api cannot be compiled: {0}")]
    Panicked(String),
}

// === impl Source ===

impl Source {
    /// Creates a source that has read and asked nothing yet.
    pub fn new(options: SourceOptions) -> Self {
        Self {
            files: DescriptorFiles::new(options.descriptors.clone()),
            claims: Claims {
                named: options.services.clone(),
                own_files: options.own_files,
            },
            options,
            last: None,
            served: BTreeSet::new(),
        }
    }

    /// Returns how often the upstream is asked.
    pub fn pace(&self) -> Pace {
        self.options.pace
    }

    /// Reads the descriptor files, so that one that can't be used is found at once.
    ///
    /// # Errors
    /// A file can't be read, exceeds 64 MiB or is no descriptor set.
    pub async fn check(&mut self) -> Result<(), Error> {
        self.files.current().await?;
        Ok(())
    }

    /// Returns the part of the upstream's API that can be served. It takes at most
    /// [`Pace::timeout`], descriptor files and compilation aside.
    ///
    /// # Errors
    /// Neither reflection nor a file tells which services there are, or reflection has not answered
    /// about a service that it told of before.
    pub async fn learn(&mut self, upstream: &Upstream) -> Result<Learned, Error> {
        let asks = self.options.reflection;
        let reflected = match asks {
            true => reflect(upstream, &self.options).await,
            false => Err(reflection::Error::NotOffered),
        };
        let sets = self.files.current().await?;
        let reflected = match reflected {
            Ok(reflected) => Some(reflected),
            Err(reflection::Error::NotOffered) if !asks || !sets.is_empty() => None,
            Err(error) => return Err(error.into()),
        };
        let is_whole = reflected.as_ref().is_none_or(|own| own.is_whole);
        let told = reflected.as_ref().map(|own| &own.learned);
        let combined = Learned {
            leaves_validation: self.options.leaves_validation,
            process: self.options.process.clone(),
            ..combine::combine(told, sets, &self.claims)?
        };
        let combined = Learned {
            declarations: self.files.declarations(),
            ..combined
        };
        let usable = self.usable(combined).await?;
        if !is_whole {
            self.check_gaps(&usable)?;
        }
        self.served = usable.services.clone();
        Ok(usable)
    }

    /// A server that is busy must not lose a service by it.
    fn check_gaps(&self, usable: &Learned) -> Result<(), Error> {
        let lost = |(service, _): &(&String, &String)| self.served.contains(*service);
        match usable.left_out.iter().find(lost) {
            None => Ok(()),
            Some((service, reason)) => Err(Error::Gap {
                service: service.clone(),
                reason: reason.clone(),
            }),
        }
    }

    async fn usable(&mut self, combined: Learned) -> Result<Learned, Error> {
        let last = self.last.take().filter(|(last, _)| *last == combined);
        let usable = match last {
            Some((_, usable)) => usable,
            None => {
                let all = combined.clone();
                let search = tokio::task::spawn_blocking(move || usable::usable(all));
                search
                    .await
                    .map_err(|error| Error::Panicked(error.to_string()))?
            }
        };
        self.last = Some((combined, usable.clone()));
        Ok(usable)
    }
}

// === impl Error ===

impl From<reflection::Error> for Error {
    fn from(error: reflection::Error) -> Self {
        Self::Reflection(error.to_string())
    }
}

impl From<files::Error> for Error {
    fn from(error: files::Error) -> Self {
        Self::Files(error.to_string())
    }
}

impl From<combine::Error> for Error {
    fn from(error: combine::Error) -> Self {
        Self::Combine(error.to_string())
    }
}

async fn reflect(
    upstream: &Upstream,
    options: &SourceOptions,
) -> Result<reflection::Reflected, reflection::Error> {
    let process = options.process.as_ref();
    let limit = options.pace.timeout;
    let learn = reflection::learn(Server { upstream, process }, limit);
    rpc::deadline::scope(Instant::now() + limit, learn).await
}

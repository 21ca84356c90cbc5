//! Limits that apply to each function separately: one that is saturated delays no other.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Semaphore;

/// A number of permits for each function.
#[derive(Debug)]
pub(crate) struct PerFunction {
    known: BTreeMap<String, Arc<Semaphore>>,
    /// For all names that belong to no function, because there may be any number of them.
    others: Arc<Semaphore>,
}

impl PerFunction {
    /// Creates `permits` permits for each of the functions with these names.
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = &'a String>, permits: usize) -> Self {
        let semaphore = || Arc::new(Semaphore::new(permits));
        let known = names
            .into_iter()
            .map(|name| (name.clone(), semaphore()))
            .collect();

        Self {
            known,
            others: semaphore(),
        }
    }

    /// The permits of one function.
    pub(crate) fn of(&self, function: &str) -> Arc<Semaphore> {
        Arc::clone(self.known.get(function).unwrap_or(&self.others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_has_all_its_permits_leaves_those_of_the_others() {
        let names = ["a".to_owned(), "b".to_owned()];
        let permits = PerFunction::new(&names, 1);

        let _held = permits.of("a").try_acquire_owned().unwrap();
        assert!(permits.of("a").try_acquire_owned().is_err());

        let _other = permits.of("b").try_acquire_owned().unwrap();
        let _unknown = permits.of("c").try_acquire_owned().unwrap();
        assert!(permits.of("d").try_acquire_owned().is_err());
    }
}

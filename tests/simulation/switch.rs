//! The mutation that a run is under, if any. The switches exist in builds with the feature
//! `mutations` only.

use aplomb_state::mutation::Mutation;

#[derive(Clone, Copy, Debug, Default)]
pub struct Switch(pub Option<Mutation>);

impl Switch {
    /// Runs `work` on this thread under the mutation.
    #[cfg(feature = "mutations")]
    pub fn with<T>(self, work: impl FnOnce() -> T) -> T {
        aplomb_state::mutation::with(self.0, work)
    }

    /// Runs `work`: this build has no switches.
    #[cfg(not(feature = "mutations"))]
    pub fn with<T>(self, work: impl FnOnce() -> T) -> T {
        assert_eq!(self.0, None, "this build has no switches");
        work()
    }
}

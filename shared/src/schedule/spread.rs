//! A stable hash of each job, which spreads jobs with equal schedules over time.

use crate::id::{JobId, TenantId};

/// A job's hash, from which `H` and `jitter` are derived. It never changes for a job of a tenant.
///
/// The hash function is our own and must never change: another one would move every `H` and every
/// `jitter` of all tenants to another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread(u64);

impl Spread {
    /// The hash of one job (FNV-1a over the tenant's id and the job's id).
    pub fn new(tenant: TenantId, job: JobId) -> Spread {
        let bytes = tenant.0.as_bytes().iter().copied().chain(job.0.to_be_bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Spread(hash)
    }

    /// A number in `0..choices` (0 choices are treated as 1). It is uniformly distributed over the
    /// jobs and independent for each `purpose`.
    pub(super) fn pick(self, purpose: u64, choices: u64) -> u64 {
        let seed = self.0.wrapping_add(purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // The finalizer of splitmix64: every bit of the seed affects every bit of the result.
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % choices.max(1)
    }
}

//! Which of the claims to one identity is in force.

use crate::api::accepted::Accepted;
use crate::sources::scan::Claim;

/// A claim and its file. Orders by file path, document and index.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ranked<'a> {
    pub file: &'a str,
    pub claim: &'a Claim,
}

impl Ranked<'_> {
    fn rank(&self) -> (&str, u32, Option<u32>) {
        (self.file, self.claim.document, self.claim.index)
    }
}

/// The claims to one identity, in order, and what is in force now.
pub(super) struct Contest<'a, 'p> {
    pub previous: Option<&'p Accepted>,
    pub claims: &'p [Ranked<'a>],
}

/// What is in force from now on.
#[derive(Debug)]
pub(super) enum Verdict<'a, 'p> {
    /// This claim.
    Claim(Ranked<'a>),
    /// What was in force before.
    LastGood(&'p Accepted),
    /// Nothing: no claim is good, and none ever was.
    Nothing,
}

impl<'a, 'p> Contest<'a, 'p> {
    /// The first claim that is good, or that is broken but has a last good version. With
    /// `standing`, what was accepted last competes too, from where it last stood.
    pub(super) fn verdict(&self, standing: bool) -> Verdict<'a, 'p> {
        let continued = self.continued();
        for ranked in self.claims {
            if let Some(previous) = self.previous
                && standing
                && rank_of(previous) < ranked.rank()
            {
                return Verdict::LastGood(previous);
            }
            match (&ranked.claim.outcome, self.previous) {
                (Ok(_), _) => return Verdict::Claim(*ranked),
                (Err(_), Some(previous))
                    if continued.is_some_and(|c| std::ptr::eq(c.claim, ranked.claim)) =>
                {
                    return Verdict::LastGood(previous);
                }
                (Err(_), _) => {}
            }
        }
        self.previous.map_or(Verdict::Nothing, Verdict::LastGood)
    }

    /// The claim that was in force: in the same file the one of the same content, else the one at
    /// the same place, else the first.
    fn continued(&self) -> Option<Ranked<'a>> {
        let previous = self.previous?;
        let here = || self.claims.iter().copied().filter(|c| c.file == previous.source.file);
        let same = |c: &Ranked<'_>| {
            c.claim.outcome.as_ref().is_ok_and(|fit| fit.digest == previous.digest)
        };
        here()
            .find(same)
            .or_else(|| here().find(|c| c.rank() == rank_of(previous)))
            .or_else(|| here().next())
    }
}

fn rank_of(accepted: &Accepted) -> (&str, u32, Option<u32>) {
    (&accepted.source.file, accepted.source.document, accepted.source.index)
}

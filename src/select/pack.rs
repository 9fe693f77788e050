//! As much of a ranked list as a number of tokens holds: the best in full, the rest in fewer and fewer words.

use super::tokens::count;

/// What there is to say, and how much of it may be said.
pub struct Pack<'a> {
    /// The tokens that the whole text may have.
    pub budget: usize,
    /// How many items there are, the best first.
    pub items: usize,
    /// In how many ways an item can be said, from the longest, 0, to the shortest.
    pub tiers: usize,
    /// How many of the first items may be said in the longest way, and the tokens these may have together.
    pub longest: (usize, usize),
    /// An item, said in one of the ways.
    pub say: &'a dyn Fn(usize, usize) -> String,
    /// The whole text: the items that are said, and how many are not.
    pub whole: &'a dyn Fn(&[Said], usize) -> String,
}

/// An item that is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Which.
    pub item: usize,
    /// In which way.
    pub tier: usize,
    /// The words.
    pub text: String,
}

/// A text that holds its budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The text.
    pub text: String,
    /// Its tokens.
    pub tokens: usize,
    /// What is said in it, in order.
    pub said: Vec<Said>,
}

impl std::fmt::Debug for Pack<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { budget, items, tiers, longest, .. } = self;
        write!(f, "Pack({items} items in {tiers} ways, {longest:?} in the longest, {budget} tokens)")
    }
}

impl Pack<'_> {
    /// The text. It is over the budget only where the text without any item is.
    pub fn pack(&self) -> Packed {
        let mut said = self.fill();
        if said.is_empty() && self.items > 0 && self.tiers > 0 {
            // The estimate is careful; the count below is exact.
            said.push(self.said(0, self.tiers - 1));
        }
        loop {
            let text = (self.whole)(&said, self.items - said.len());
            let tokens = count(&text);
            if tokens <= self.budget {
                return Packed { text, tokens, said };
            }
            let Some(last) = said.pop() else { return Packed { text, tokens, said } };
            if last.tier + 1 < self.tiers {
                said.push(self.said(last.item, last.tier + 1));
            }
        }
    }

    fn said(&self, item: usize, tier: usize) -> Said {
        Said { item, tier, text: (self.say)(item, tier) }
    }

    /// What fits when every item costs what it costs alone, up to the first that does not fit in any way. That is
    /// nearly so: two neighbours may share a token, or take one more.
    fn fill(&self) -> Vec<Said> {
        let mut left = self.budget.saturating_sub(count(&(self.whole)(&[], self.items)));
        let (most, mut room) = self.longest;
        let mut said = Vec::new();
        for item in 0..self.items {
            let fits = (usize::from(item >= most)..self.tiers).find_map(|tier| {
                let one = self.said(item, tier);
                let allowed = if tier == 0 { left.min(room) } else { left };
                Some((cost(&one.text, allowed)?, one))
            });
            match fits {
                Some((cost, one)) => {
                    left -= cost;
                    room -= if one.tier == 0 { cost } else { 0 };
                    said.push(one);
                }
                None if said.is_empty() => {}
                None => break,
            }
        }
        said
    }
}

/// What a text costs behind another, if that is allowed.
fn cost(text: &str, allowed: usize) -> Option<usize> {
    // Hardly any text has more bytes to a token, and what is that long need not be counted.
    const LONG: usize = 8;
    if text.len() / LONG > allowed {
        return None;
    }
    let cost = count(text) + 1;
    (cost <= allowed).then_some(cost)
}

//! The floor under every door: the operators' verbs, called as a door calls them.

mod choices;

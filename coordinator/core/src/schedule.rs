//! Which task goes where: view, feasible, rank, plan. Pure, and bounded in work per pass.

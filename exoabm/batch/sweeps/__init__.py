"""Many runs: designs of rows, run on any executor, journaled, resumed and summed up."""

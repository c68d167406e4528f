"""Ground truth for tools that infer communication: observed expression, results of tools, and scores.

``observation``  what an observer sees of a run: cells with errors of segmentation, and invented expression
``measures``     areas under curves and rank correlations of scores of pairs
``results``      results of tools, as scores of pairs of cells
``score``        a result against the truth, beside baselines and the transposed result
"""

"""Ground truth for tools that infer communication: observed expression, results of tools, and scores.

``observation``  what an observer sees of a run: cells with errors of segmentation, and invented expression
``tool_results`` results of tools, as scores of pairs of cells
``score``        agreement of a result with the truth, beside baselines and the transposed result
"""

"""The pieces of the paper's Figure 1, one file each: patches, position, embedding, attention, encoder, head.

Shape legend used throughout: B batch, C channels, H×W image, P patch side, N patches, T tokens (N plus class
token and registers), D width, h heads, d = D/h width of a head, M hidden width of the MLP, K classes.
"""

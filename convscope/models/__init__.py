"""Networks: graph, layers, receptive fields, preprocessing, weights, names."""

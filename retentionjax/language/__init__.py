"""The language model that writes the messages: decoder, adapters, sampler, and the three stages that train it."""

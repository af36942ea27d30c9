"""First names and companies that messages are about, of many lengths and origins.

Companies are put together, of one word ("Northwind") or two ("Cedar Net"). The test split's names, and the words its
companies begin with, are met in no other split; what is common to a trade ("Net", "Mobile") is in both.
"""

from collections.abc import Mapping
from itertools import product

_FIRST_NAMES = """
Aaron Abdul Abena Abigail Adaeze Adam Adele Adrian Agata Agnes Ahmed Aida Ailsa Aisha Akin Alan Albert Alena Alessia
Alice Alina Alma Alvaro Amanda Amara Amelia Amina Amir Amit Amy Ana Anders Andre Andrea Andrew Angela Anika Anita Anja
Ann Anna Annika Anthony Antonio Anya Aoife Arjun Arman Arnold Arthur Arturo Asha Ashley Astrid Audrey Ayesha Aylin
Barbara Beatriz Ben Benedikt Benjamin Bernard Beth Bianca Bogdan Boris Brandon Brenda Brian Bridget Bronwen Bryan
Callum Camila Carla Carlos Carmen Carol Caroline Catalina Cathal Cecilia Cedric Chandra Charles Chiara Chinedu Chloe
Chukwu Cillian Clara Claudia Colin Conor Cora Cosima Craig Cristian Cynthia Dagmar Daichi Damian Daniel Daniela
Dariusz David Dawit Deborah Deepa Denise Dennis Derek Diana Diego Dieter Dilan Dimitra Dominik Donald Dorota Dorothy
Douglas Duncan Dylan Ebba Edgar Edith Eduardo Edward Egon Eileen Einar Elaine Eleanor Elena Elif Elijah Elisa Ella
Ellen Elsa Emeka Emil Emily Emma Enrique Eric Erik Ernesto Esther Ethan Eugene Eva Evelyn Ezra Fabian Farah Fatima
Fatou Felicity Felix Femi Fernanda Filip Fiona Florian Frances Frank Frida Gabriel Gabriela Gareth Gary Gemma Geoffrey
George Georgia Gerald Gianni Gilbert Giorgio Giulia Gloria Goran Grace Greta Grigori Gunnar Gustav Habib Hamza Hana
Hanna Hannah Harold Haruki Harvey Hector Heidi Henrik Henry Hideo Hilda Hiroshi Howard Hugo Hussein Ian Ibrahim Ida
Igor Ilaria Imani Imran Ingrid Irene Irina Isaac Isabel Isabella Isla Ismail Ivan Ivana Jacob Jakub Jamal James Janet
Janine Jasmin Javier Jean Jelena Jennifer Jeremy Jerome Jessica Jill Jin Joanna Joaquin Johan Jonas Jonathan Jorge
Joseph Joshua Joyce Juan Judith Julia Julian Juliette Justin Kaito Kamal Karen Karim Karl Karolina Katarina Kateryna
Kathleen Kavita Keiko Keith Kelly Kenji Kenneth Kerstin Kevin Khadija Kiran Klaus Kofi Kristen Kristof Kwame Kyle Lars
Laszlo Laura Lauren Laurence Layla Leila Leon Leonardo Leonor Leslie Liam Liana Lidia Linda Linh Linnea Lisa Ljubica
Logan Lorenzo Louis Louisa Lucas Lucia Ludwig Luis Luisa Luka Lydia Magda Magnus Mahmoud Malik Manuel Marcel Marco
Marcus Margaret Maria Mariana Marie Marina Mario Marisol Marjan Marlene Marta Martha Martin Mary Masato Mateo Mathilde
Matilda Matthew Maura Maurice Maya Mehmet Mei Melanie Melissa Mercedes Mia Michael Michelle Mila Milan Milos Minh Mira
Miriam Mohammed Moira Monica Morgan Moritz Muriel Mustafa Nadia Nadine Naoko Natalie Natasha Nathan Neil Nia Nicholas
Nicole Nigel Nikolai Nikos Nina Noah Noemi Noor Nora Norbert Nuno Oksana Olaf Olga Oliver Olivia Omar Orla Oscar Otto
Owen Pablo Pamela Paola Parisa Patricia Patrick Paul Paula Paulo Pavel Pedro Penelope Peter Philip Phoebe Pierre Piotr
Pooja Priya Rachel Radu Raj Rajesh Ramon Ramona Rania Raquel Raymond Rebecca Reiko Renata Renee Ricardo Richard Rita
Robert Roberta Roger Rohan Roland Roman Ronald Rosa Rosalind Rosario Rowan Roy Ruben Rudolf Rupert Russell Ruth Ryan
Sabine Sabrina Sachiko Sadia Saeed Salma Samantha Samuel Sandra Sanjay Santiago Sara Sarah Sasha Sean Selma Serena
Sergio Shannon Sharon Sheila Shira Sibel Sigrid Silvia Simon Simone Siobhan Sofia Solomon Sonia Sophie Soren Stanley
Stella Stephen Steven Stewart Sunita Susan Susanne Suzanne Sven Svetlana Sylvia Tadeusz Takeshi Tamara Tania Tara
Tatiana Teodor Teresa Thandi Theodore Theresa Thomas Tiago Timothy Tobias Tom Tomas Tomoko Tracy Trevor Tristan Ulrich
Ulrike Ursula Uwe Valeria Vanessa Vasco Vera Veronica Victor Victoria Vijay Viktor Vincent Viola Virginia Vivian
Vladimir Wanda Wei Wendy Wilhelm William Winston Xavier Ximena Yannick Yara Yasmin Yolanda Yosef Yuki Yusuf Yvonne
Zachary Zainab Zara Zeynep Zita Zoe Zofia Zoran
"""
_HELD_OUT_FIRST_NAMES = """
Petra Hassan Joan Miguel Akiko Dmitri Lena Tariq Helen Bruno Naomi Stefan Ines Walter Divya Rafael Adriana Amadou
Anselm Bilal Birgit Candice Ciara Corinne Dalia Darren Eamon Edwina Emre Fergus Freya Gerhard Gwen Hamish Harriet
Ikram Ilse Jarek Jocelyn Kamila Larissa Leandro Madison Marek Maureen Mirjam Nasser Nigella Odette Osman Pilar Pradeep
Ragnar Samira Shreya Tabitha Terence Tilda Umar Valerie Vikram Wilma Yoshi Zelda
"""
FIRST_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": tuple(_FIRST_NAMES.split()),
    "test": tuple(_HELD_OUT_FIRST_NAMES.split()),
}


def _companies(starts: str, ends: str, words: str, trades: str, longest: int) -> tuple[str, ...]:
    """Every start with every end, every word alone, every word with every trade; none beyond `longest` characters.

    A lock screen has little room, and the test split's phrases need more of it.
    """
    compounds = (start + end for start, end in product(starts.split(), ends.split()) if start.lower() != end)
    pairs = (f"{word} {trade}" for word, trade in product(words.split(), trades.split()))
    return tuple(each for each in (*compounds, *words.split(), *pairs) if len(each) <= longest)


COMPANIES: Mapping[str, tuple[str, ...]] = {
    "train": _companies(
        """
        North Blue Sun River Cedar Harbor Silver Maple Stone Bright Cloud East West Red Green Iron Moon Star Oak
        Pine Quick Swift True Clear Wild Sea Lake Hill Snow Summer Winter Spring Golden Copper Crystal Ember Falcon
        Raven Robin Heron Tiger Lion Wolf Fox Amber Coral Granite Echo
        """,
        "wind bird line link wave beam port field gate peak stream crest path point ridge star light stone shore cast",
        """
        Lumen Vela Nova Meridian Harbor Cedar Aurora Orbit Zenith Atlas Apex Vertex Pulse Summit Horizon Pioneer
        Beacon Compass Anchor Mosaic Prism Quantum Stellar Cobalt Indigo Scarlet Juniper Willow Magnolia Laurel
        Hazel Aspen Birch Sequoia Canyon Prairie Delta Mesa Sierra Lagoon Glacier Tundra Savanna Orchid Lotus Tulip
        Clover Saffron Ginger Pepper Velvet Satin Marble Onyx Topaz Garnet Jasper Ruby Sapphire Emerald Monarch
        Regent Castle Citadel Bastion Keystone Cornerstone Liberty Unity Harmony Melody Sonata Tempo Rhythm Cadence
        Cascade Torrent Geyser Comet Nebula Galaxy Cosmos Solaris Lunar Astra Helios Titan Orion Phoenix Griffin
        Pegasus Kestrel Osprey Condor Swallow Sparrow Finch Dolphin Marlin Otter Badger Bison Mustang Bronco
        Cheetah Jaguar Panther Puma
        """,
        """
        Tel Net Mobile Telecom Wireless Line Link Connect Media Bay Networks Communications Wave Digital One Home
        Online Systems
        """,
        longest=12,
    ),
    "test": _companies(
        "Fern Sky Tide Thunder Ocean Forest Garden Meadow Frost Autumn Crown Sand Brook Ash Elm",
        "way lark water bridge haven mark span dale flow mere",
        """
        Opal Lynden Quill Zephyr Vesper Quartz Heather Lynx Arcadia Umbra Pelican Caravel Halcyon Thistle Wren
        Alder
        """,
        "Net Tel Cell Voice",
        longest=10,
    ),
}
